import { z } from "zod/mini";

/** Part of an address: nonsense is left out, so that an old or a mistyped link still opens. */
export function maybe<Schema extends z.core.$ZodType>(schema: Schema) {
  return z.catch(z.optional(schema), undefined);
}
