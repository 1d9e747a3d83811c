import { Badge, Group, Paper, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import type { Metric } from "@/api/generated/types.gen";
import { significant } from "@/shared/format";
import { type Band, r2Band, slopeBand, stabilityBand, variationBand } from "./bands";

const COLORS = { good: "green", fine: "blue", watch: "orange", bad: "red" } as const;

const READINGS: readonly { names: string[]; label: string; about: string; band: (value: number) => Band }[] = [
  {
    names: ["loss_slope"],
    label: "Slope of the loss",
    about: "Change of the loss in a step, by a straight line through the last 200.",
    band: slopeBand,
  },
  {
    names: ["loss_r2"],
    label: "R² of the slope",
    about: "How much of the loss that line explains, 0 to 1.",
    band: r2Band,
  },
  {
    names: ["gradient_stability_avg", "gradient_stability"],
    label: "Gradient stability",
    about: "Share of the gradient's signs that are what they were a step before; 0.5 is chance.",
    band: stabilityBand,
  },
  {
    names: ["loss_variation"],
    label: "Variation of the loss",
    about: "Spread of the last 50 losses divided by their mean.",
    band: variationBand,
  },
];

/** What the newest numbers mean. */
export function HealthCard({ metrics }: { metrics: readonly Metric[] }) {
  return (
    <Paper withBorder p="md" component="section" aria-label="Health">
      <Stack gap="md">
        <Title order={2} size="h5">
          How it goes
        </Title>
        <SimpleGrid cols={{ base: 1, sm: 2, lg: 4 }} spacing="lg">
          {READINGS.map((reading) => {
            const value = reading.names
              .map((name) => metrics.find((each) => each.name === name)?.last)
              .find((each) => each != null);
            const band = value == null ? null : reading.band(value);
            return (
              <Stack key={reading.label} gap={4}>
                <Text size="sm" fw={600}>
                  {reading.label}
                </Text>
                <Group gap="xs">
                  <Text size="lg" fw={600} className="numbers">
                    {significant(value)}
                  </Text>
                  {band && (
                    <Badge variant="light" color={COLORS[band.tone]} tt="none" radius="sm">
                      {band.word}
                    </Badge>
                  )}
                </Group>
                <Text size="xs" c="dimmed">
                  {reading.about}
                </Text>
                <Text size="xs">{band ? band.advice : "Known after some more steps."}</Text>
              </Stack>
            );
          })}
        </SimpleGrid>
      </Stack>
    </Paper>
  );
}
