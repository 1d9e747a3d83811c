/** What stands behind the question mark in addresses of the pages here. With zod's small form: it is part of the first load. */
import { z } from "zod/mini";
import { maybe } from "@/shared/maybe";

export const SETTINGS_TABS = ["general", "paths", "tokens", "hardware", "access", "trash"] as const;
export type SettingsTab = (typeof SETTINGS_TABS)[number];

export const SETTINGS_TITLES: Record<SettingsTab, string> = {
  general: "General",
  paths: "Folders",
  tokens: "Tokens",
  hardware: "Hardware",
  access: "Access",
  trash: "Trash",
};

export const settingsSearch = z.object({ tab: maybe(z.enum(SETTINGS_TABS)) });

const KINDS = ["model", "lora", "vae", "text_encoder", "other", "problem"] as const;

export const modelsSearch = z.object({ q: maybe(z.coerce.string()), kind: maybe(z.enum(KINDS)) });
