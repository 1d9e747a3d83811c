import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { packAssets } from "./packed-assets.ts";
import { leaveOutUnusedStyles } from "./unused-css.ts";

/** What the server does with the built page. */
const sayWhereItIs: Plugin = {
  name: "say-where-it-is",
  apply: "serve",
  transformIndexHtml: () => [{ tag: "base", attrs: { href: "/" }, injectTo: "head-prepend" }],
};

// Relative addresses: the server says in <base> where it is, so that the app also works below a path of a proxy.
export default defineConfig({
  base: "./",
  plugins: [react(), leaveOutUnusedStyles(), packAssets(), sayWhereItIs],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    outDir: fileURLToPath(new URL("../loratory/server/static", import.meta.url)),
    emptyOutDir: true,
    manifest: true,
    target: "es2023",
    modulePreload: { polyfill: false },
    // What most pages share is one file: 20 requests for the first page instead of 48, and 12 kB less.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: "base", minShareCount: 7 }] } } },
  },
  server: { proxy: { "/api": { target: process.env.LORATORY_ADDRESS ?? "http://127.0.0.1:8675", ws: true } } },
});
