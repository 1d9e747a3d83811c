import { Boxes, FolderOpen, House, type LucideIcon, Play, Rows3, Settings } from "lucide-react";

/** The places of the rail, and the second key of their shortcut: g, then this. */
export const PLACES: readonly { to: string; label: string; icon: LucideIcon; key: string }[] = [
  { to: "/", label: "Home", icon: House, key: "h" },
  { to: "/datasets", label: "Datasets", icon: FolderOpen, key: "d" },
  { to: "/train", label: "Train", icon: Play, key: "t" },
  { to: "/runs", label: "Runs", icon: Rows3, key: "r" },
  { to: "/models", label: "Models", icon: Boxes, key: "m" },
  { to: "/settings", label: "Settings", icon: Settings, key: "s" },
];
