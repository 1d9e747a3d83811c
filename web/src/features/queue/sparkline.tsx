import { Skeleton, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRunMetrics } from "@/api/generated/sdk.gen";
import { readFrame } from "@/charts/frame";
import { significant } from "@/shared/format";
import { pathOf, smooth } from "./line";

const POINTS = 160;
const EVERY_MS = 4_000;
const [WIDTH, HEIGHT] = [320, 72];

/** The loss so far as a line: only its course, for the numbers are on the run's page. */
export function Sparkline(props: { run: string }) {
  const { data } = useQuery({
    queryKey: ["sparkline", props.run],
    queryFn: async ({ signal }) => {
      const query = { name: ["loss"], points: POINTS };
      const answer = await getRunMetrics({ path: { run_id: props.run }, query, parseAs: "arrayBuffer", signal });
      const loss = readFrame(answer.data as unknown as ArrayBuffer).series.find((each) => each.name === "loss");
      return loss ? smooth(loss.values) : [];
    },
    refetchInterval: EVERY_MS,
  });
  if (!data) return <Skeleton h={HEIGHT} />;
  if (data.length < 2) {
    return (
      <Text size="sm" c="dimmed" h={HEIGHT} pt="lg">
        The loss is drawn here after the first steps.
      </Text>
    );
  }
  const said = `Loss from ${significant(data[0])} to ${significant(data.at(-1))}`;
  return (
    <svg
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width="100%"
      height={HEIGHT}
      preserveAspectRatio="none"
      role="img"
      aria-label={said}
    >
      <path
        d={pathOf(data, WIDTH, HEIGHT)}
        fill="none"
        stroke="var(--mantine-primary-color-filled)"
        strokeWidth={2}
        strokeLinejoin="round"
        vectorEffect="non-scaling-stroke"
      />
    </svg>
  );
}
