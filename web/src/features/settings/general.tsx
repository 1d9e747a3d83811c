import { Button, Group, SegmentedControl, Stack, Text, useMantineColorScheme } from "@mantine/core";
import { useState } from "react";
import { useDraft } from "@/shared/draft";
import { noticesNow, turnNotices } from "@/shared/notices";
import { Section } from "@/shared/section";

const SAID = {
  on: "The browser tells you when a training ends, while you look at something else.",
  off: "You see in this window when a training ends. The browser can tell you while you look at something else, too.",
  denied: "This browser was told to show no notifications of this page. Its settings for this address can change that.",
  unavailable: "Browsers show notifications only of pages of this machine itself, or of pages that come by https.",
};

/** What this browser shows; kept in it, for each person has a browser of his own. */
export function General() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const [notices, setNotices] = useState(noticesNow);
  const checklist = useDraft("checklist", 1, false);
  return (
    <Stack gap="lg">
      <Section title="Theme" about="Of this browser.">
        <SegmentedControl
          aria-label="Theme"
          value={colorScheme}
          onChange={(value) => setColorScheme(value as "light" | "dark" | "auto")}
          data={[
            { value: "light", label: "Light" },
            { value: "dark", label: "Dark" },
            { value: "auto", label: "As the system" },
          ]}
          w={{ base: "100%", xs: "22rem" }}
        />
      </Section>
      <Section title="Notifications">
        <Text size="sm">{SAID[notices]}</Text>
        {(notices === "on" || notices === "off") && (
          <Group>
            <Button variant="default" onClick={() => void turnNotices(notices === "off").then(setNotices)}>
              {notices === "on" ? "Tell me no more" : "Tell me when a training ends"}
            </Button>
          </Group>
        )}
      </Section>
      {checklist.value && (
        <Section title="First steps">
          <Text size="sm">The list of steps to a first LoRA is hidden on Home.</Text>
          <Group>
            <Button variant="default" onClick={() => checklist.clear()}>
              Show it again
            </Button>
          </Group>
        </Section>
      )}
    </Stack>
  );
}
