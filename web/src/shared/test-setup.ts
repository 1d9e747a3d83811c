import { cleanup } from "@testing-library/react";
import { afterEach, vi } from "vitest";

// Files share a document: each test leaves it as it found it.
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  localStorage.clear();
  sessionStorage.clear();
  document.body.replaceChildren();
});
