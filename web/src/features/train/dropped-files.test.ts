import { expect, test } from "vitest";
import { areSettings, isPreset, nameOfPasted, toSend } from "./dropped-files";

function safetensors(header: string, weights: number): File {
  const start = new ArrayBuffer(8);
  new DataView(start).setBigUint64(0, BigInt(header.length), true);
  return new File([start, header, new Uint8Array(weights)], "dog.safetensors");
}

test("of a LoRA file only the header is sent", async () => {
  const header = '{"__metadata__":{"ss_network_dim":"8"}}';
  const [sent] = await toSend([safetensors(header, 100_000)]);
  const bytes = atob(sent?.base64 ?? "");
  expect(bytes.slice(8)).toBe(header);
});

test("a damaged file is refused here, with its name", async () => {
  await expect(toSend([new File(["abc"], "a.safetensors")])).rejects.toThrow("a.safetensors does not begin");
});

test.each([
  ['{"a": 1}', "pasted.json"],
  ["accelerate launch train_network.py --network_dim=8", "pasted.sh"],
  ["[network]\nnetwork_dim = 8", "pasted.toml"],
  ["network_dim = 8", "pasted.toml"],
  ["job: extension\nconfig:\n  name: x", "pasted.yaml"],
])("%s is read as %s", (text, name) => expect(nameOfPasted(text)).toBe(name));

test.each([
  [["config.toml", "dataset.toml"], true],
  [["lora.SAFETENSORS"], true],
  [["a.png", "a.json"], false],
  [["a.txt"], false],
  [["folder"], false],
  [[], false],
])("are %s settings: %s", (names, wanted) => expect(areSettings(names.map((name) => ({ name })))).toBe(wanted));

test("a preset has settings and no job around them", () => {
  expect(isPreset({ name: "a.yaml", text: "title: x\nsettings:\n  seed: 1\n" })).toBe(true);
  expect(isPreset({ name: "a.yaml", text: "name: x\nsettings: {}\n" })).toBe(false);
  expect(isPreset({ name: "a.toml", text: "settings:" })).toBe(false);
});
