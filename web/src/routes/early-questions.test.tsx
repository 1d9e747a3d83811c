import { MantineProvider } from "@mantine/core";
import { ModalsProvider, modals } from "@mantine/modals";
import { render, screen } from "@testing-library/react";
import { useEffect } from "react";
import { expect, test } from "vitest";
import { askKept, keepQuestions } from "./early-questions";

function Late() {
  useEffect(askKept, []);
  return <ModalsProvider>{null}</ModalsProvider>;
}

test("a question that was asked too early is asked when it can be shown", async () => {
  keepQuestions();
  modals.openConfirmModal({ title: "Delete it?", labels: { confirm: "Yes", cancel: "No" } });
  render(
    <MantineProvider env="test">
      <Late />
    </MantineProvider>,
  );
  expect(await screen.findByText("Delete it?")).toBeDefined();
});
