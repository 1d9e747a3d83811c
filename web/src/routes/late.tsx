import { ModalsProvider } from "@mantine/modals";
import { Notifications } from "@mantine/notifications";
import { JobEnds } from "@/features/queue/job-ends";
import { HelpSheet } from "./help-sheet";
import { LoginAgain } from "./login-again";

/** What nobody sees at first: it comes after the page, which is there the sooner. */
export default function Late() {
  return (
    <>
      <ModalsProvider>{null}</ModalsProvider>
      <Notifications position="bottom-right" />
      <HelpSheet />
      <JobEnds />
      <LoginAgain />
    </>
  );
}
