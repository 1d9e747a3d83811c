import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  // Tests of forms read the schema of jobs, which lies in docs/.
  server: { fs: { allow: [fileURLToPath(new URL("..", import.meta.url))] } },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"], setupFiles: ["./src/shared/test-setup.ts"] },
});
