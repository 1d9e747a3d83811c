import { Group, Text, Tooltip } from "@mantine/core";
import { RefreshCw, Unplug } from "lucide-react";
import { useEffect, useState } from "react";
import { useConnection } from "@/api/live";

const QUIET_MS = 1_500;

/** Nothing while all is well; else how the server is heard of, and that nothing is lost. */
export function ConnectionSign() {
  const now = useConnection((state) => state.now);
  const [shown, setShown] = useState(now);
  // A restart of a second is not worth a word.
  useEffect(() => {
    if (now !== "disconnected") {
      setShown(now);
      return;
    }
    const timer = window.setTimeout(() => setShown(now), QUIET_MS);
    return () => window.clearTimeout(timer);
  }, [now]);
  return (
    <div role="status" aria-live="polite">
      {shown === "disconnected" && (
        <Tooltip label="The server does not answer. What you typed is kept; this page goes on by itself when it is back.">
          <Group gap={6} wrap="nowrap" className="warning-text">
            <Unplug size={16} aria-hidden />
            <Text size="sm" fw={550} visibleFrom="xs">
              No connection
            </Text>
          </Group>
        </Tooltip>
      )}
      {shown === "polling" && (
        <Tooltip label="Something between here and the server breaks WebSockets. News comes by asking for it, a little later.">
          <Group gap={6} wrap="nowrap" c="dimmed">
            <RefreshCw size={16} aria-hidden />
            <Text size="sm" visibleFrom="md">
              Slow updates
            </Text>
          </Group>
        </Tooltip>
      )}
    </div>
  );
}
