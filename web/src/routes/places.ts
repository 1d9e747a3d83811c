import type { LinkProps } from "@tanstack/react-router";
import { Boxes, FolderOpen, House, type LucideIcon, Play, Rows3, Settings } from "lucide-react";

export interface Place {
  to: NonNullable<LinkProps["to"]>;
  label: string;
  icon: LucideIcon;
  /** The second key of its shortcut: g, then this. */
  key: string;
}

/** The places of the rail. */
export const PLACES: readonly Place[] = [
  { to: "/", label: "Home", icon: House, key: "h" },
  { to: "/datasets", label: "Datasets", icon: FolderOpen, key: "d" },
  { to: "/train", label: "Train", icon: Play, key: "t" },
  { to: "/runs", label: "Runs", icon: Rows3, key: "r" },
  { to: "/models", label: "Models", icon: Boxes, key: "m" },
  { to: "/settings", label: "Settings", icon: Settings, key: "s" },
];
