import { ModalsProvider } from "@mantine/modals";
import { Notifications } from "@mantine/notifications";
import { useEffect } from "react";
import { JobEnds } from "@/features/queue/job-ends";
import { askKept } from "./early-questions";
import { HelpSheet } from "./help-sheet";
import { LoginAgain } from "./login-again";

/** What nobody sees at first: it comes after the page, which is there the sooner. */
export default function Late() {
  useEffect(askKept, []);
  return (
    <>
      <ModalsProvider>{null}</ModalsProvider>
      <Notifications position="bottom-left" />
      <HelpSheet />
      <JobEnds />
      <LoginAgain />
    </>
  );
}
