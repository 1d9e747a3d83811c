import { defineConfig } from "@hey-api/openapi-ts";

export default defineConfig({
  input: "../../docs/reference/openapi.json",
  output: { path: "../src/api/generated", clean: true },
  plugins: [
    { name: "@hey-api/client-fetch", throwOnError: true },
    "@hey-api/sdk",
    "@hey-api/typescript",
    { name: "@tanstack/react-query", queryOptions: true, mutationOptions: true, infiniteQueryOptions: false },
  ],
});
