import { useMediaQuery } from "@mantine/hooks";
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
  const isPhone = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  return (
    <>
      <ModalsProvider>{null}</ModalsProvider>
      {/* In the free part of the rail, and on a phone over the top bar: there is little to press below them. */}
      <Notifications position={isPhone ? "top-center" : "bottom-left"} containerWidth={isPhone ? 440 : 200} />
      <HelpSheet />
      <JobEnds />
      <LoginAgain />
    </>
  );
}
