/** Words for people out of the names that programs use. */

const SPELLED: Readonly<Record<string, string>> = {
  vae: "VAE", lora: "LoRA", snr: "SNR", ema: "EMA", tf32: "TF32", csv: "CSV", ip: "IP", vram: "VRAM", cfg: "CFG",
  wandb: "Weights & Biases", tensorboard: "TensorBoard", n: "N", huber: "Huber", r2: "R²", "8bit": "8-bit", mmap: "memory mapping",
  num: "number of", dir: "folder", conv: "conv", sgd: "SGD", diff: "differential", adamw: "AdamW",
}; // biome-ignore format: a table

/** `max_grad_norm` → "Max grad norm". */
export function sentence(name: string): string {
  const words = name.split(/[_\s]+/).map((word) => SPELLED[word.toLowerCase()] ?? word.toLowerCase());
  const text = words.join(" ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A value as one reads it beside a label. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "none";
  if (value === true) return "on";
  if (value === false) return "off";
  if (value === "") return "empty";
  if (typeof value === "number") return number(value);
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(shown).join(", ");
  if (typeof value === "object") {
    const entries = Object.entries(value as object);
    return entries.length === 0 ? "none" : entries.map(([key, each]) => `${key}: ${shown(each)}`).join(", ");
  }
  return String(value);
}

/** As people type it: 0.0001 as 1e-4. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && size < 1e-3) return value.toExponential().replace("e+", "e");
  return String(value);
}

/** What was typed as a number, or the text itself where it is none. */
export function parsed(text: string): number | string {
  const tidy = text.trim().replace(",", ".").replace("−", "-");
  return tidy !== "" && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(tidy) ? Number(tidy) : text.trim();
}
