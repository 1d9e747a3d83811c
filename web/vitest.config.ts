import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  // Tests of forms read the schema of jobs, which lies in docs/.
  server: { fs: { allow: [fileURLToPath(new URL("..", import.meta.url))] } },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["./src/shared/test-setup.ts"],
    // One document for each worker, not for each file: a fifth of the time. So the setup leaves nothing behind.
    pool: "threads",
    isolate: false,
    restoreMocks: true,
    unstubGlobals: true,
    // A busy machine is slow, not wrong.
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
