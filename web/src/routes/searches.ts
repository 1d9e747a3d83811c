/**
 * What stands behind the question mark in addresses of the pages here. Nonsense is left out, never an error.
 * With zod's small form: this is part of the first load.
 */
import { z } from "zod/mini";

export const SETTINGS_TABS = ["general", "paths", "tokens", "hardware", "access", "trash"] as const;
export type SettingsTab = (typeof SETTINGS_TABS)[number];

export const settingsSearch = z.object({ tab: z.catch(z.optional(z.enum(SETTINGS_TABS)), undefined) });

const KINDS = ["model", "lora", "vae", "text_encoder", "other", "problem"] as const;

export const modelsSearch = z.object({
  q: z.catch(z.optional(z.coerce.string()), undefined),
  kind: z.catch(z.optional(z.enum(KINDS)), undefined),
});
