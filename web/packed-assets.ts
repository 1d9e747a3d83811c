import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const WORTH_BYTES = 1024;
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };

/** Lays compressed copies beside scripts, styles and drawings, which the server sends to browsers that take them. */
export function packAssets(): Plugin {
  return {
    name: "pack-assets",
    apply: "build",
    writeBundle(options, bundle) {
      for (const name of Object.keys(bundle)) {
        if (!/^assets\/.*\.(js|css|svg)$/.test(name)) continue;
        const path = join(options.dir ?? "", name);
        const plain = readFileSync(path);
        if (plain.length < WORTH_BYTES) continue;
        writeFileSync(`${path}.gz`, gzipSync(plain, { level: 9 }));
        writeFileSync(`${path}.br`, brotliCompressSync(plain, BROTLI));
      }
    },
  };
}
