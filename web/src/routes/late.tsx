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
      {/* In the free part of the rail; on a phone under the top bar. There is nothing to press below them. */}
      <Notifications
        position={isPhone ? "top-center" : "bottom-left"}
        containerWidth={isPhone ? 440 : 200}
        style={isPhone ? { top: "var(--top)" } : undefined}
      />
      <HelpSheet />
      <JobEnds />
      <LoginAgain />
    </>
  );
}
