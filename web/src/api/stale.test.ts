import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { expect, test, vi } from "vitest";
import { markStale } from "./stale";

test("an answer that was on its way when something changed is asked for again", async () => {
  const queries = new QueryClient();
  const answers: ((value: string) => void)[] = [];
  const queryFn = () => new Promise<string>((resolve) => answers.push(resolve));
  const observer = new QueryObserver(queries, { queryKey: [{ _id: "list" }], queryFn });
  const end = observer.subscribe(() => {});
  expect(answers.length).toBe(1);
  void markStale(queries, { queryKey: [{ _id: "list" }] });
  expect(answers.length).toBe(1);
  answers[0]?.("before the change");
  await vi.waitFor(() => expect(answers.length).toBe(2));
  answers[1]?.("after it");
  await vi.waitFor(() => expect(observer.getCurrentResult().data).toBe("after it"));
  // From then on once is enough.
  void markStale(queries, { queryKey: [{ _id: "list" }] });
  expect(answers.length).toBe(3);
  end();
});
