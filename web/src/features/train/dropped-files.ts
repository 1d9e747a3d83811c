/** What is sent of dropped files: texts whole; of a LoRA file only its header, however big it is. */

export interface SentFile {
  name: string;
  text?: string;
  base64?: string;
}

const MOST_HEADER = 15_000_000;
const MOST_TEXT = 1_000_000;

export async function toSend(files: readonly File[]): Promise<SentFile[]> {
  return Promise.all([...files].map(one));
}

async function one(file: File): Promise<SentFile> {
  if (file.name.toLowerCase().endsWith(".safetensors")) return { name: file.name, base64: await header(file) };
  if (file.size > MOST_TEXT) throw new Error(`${file.name} is too big for a settings file.`);
  return { name: file.name, text: await file.text() };
}

async function header(file: File): Promise<string> {
  const start = new DataView(await file.slice(0, 8).arrayBuffer());
  const length = start.byteLength === 8 ? Number(start.getBigUint64(0, true)) : Number.NaN;
  if (!(length > 0 && length <= MOST_HEADER && length + 8 <= file.size)) {
    throw new Error(`${file.name} does not begin as a safetensors file does; it may be damaged.`);
  }
  return base64(new Uint8Array(await file.slice(0, 8 + length).arrayBuffer()));
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

/** A name for pasted text, since its ending says how to read it. */
export function nameOfPasted(text: string): string {
  const start = text.trimStart();
  if (start.startsWith("{")) return "pasted.json";
  if (/(^|\s)--\w+/.test(start) && /(accelerate|python|\.py|^--)/m.test(start)) return "pasted.sh";
  if (/^\s*\[{1,2}[\w.]+\]{1,2}\s*$/m.test(text) || /^\s*\w+\s*=/m.test(start)) return "pasted.toml";
  return "pasted.yaml";
}

/** Could these be settings, and nothing else? Pictures, captions and archives are for datasets. */
export function areSettings(files: readonly Pick<File, "name">[]): boolean {
  return files.length > 0 && files.every((each) => /\.(toml|ya?ml|json|sh|safetensors)$/i.test(each.name));
}

/** A preset of ours as a file: how to train, without a job around it. */
export function isPreset(file: SentFile): boolean {
  const text = file.text ?? "";
  return /\.ya?ml$/i.test(file.name) && /^settings:/m.test(text) && !/^(job|model|name):/m.test(text);
}
