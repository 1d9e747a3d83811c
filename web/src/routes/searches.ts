/** What stands behind the question mark in addresses of the pages here. Nonsense is left out, never an error. */
import { z } from "zod";

export const SETTINGS_TABS = ["general", "paths", "tokens", "hardware", "access", "trash"] as const;
export type SettingsTab = (typeof SETTINGS_TABS)[number];

export const settingsSearch = z.object({ tab: z.enum(SETTINGS_TABS).optional().catch(undefined) });

export const modelsSearch = z.object({
  q: z.coerce.string().max(200).optional().catch(undefined),
  kind: z.enum(["model", "lora", "vae", "text_encoder", "other", "problem"]).optional().catch(undefined),
});
