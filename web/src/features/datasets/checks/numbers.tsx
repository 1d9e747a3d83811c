import { Paper, SimpleGrid, Stack, Text } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { getDatasetStatisticsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { BarOut } from "@/api/generated/types.gen";
import { bytes, count } from "@/shared/format";
import { CardSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import { type Bar, Bars } from "./bars";

/** A dataset in numbers. */
export function Numbers(props: { datasetId: string; query: string }) {
  const { data, error, isPending, refetch } = useQuery({
    ...getDatasetStatisticsOptions({ path: { dataset_id: props.datasetId }, query: { query: props.query } }),
    placeholderData: keepPreviousData,
  });
  if (isPending) return <CardSkeletons what="the numbers" cards={4} height={180} cols={{ base: 1, sm: 2 }} />;
  if (error) return <Failed error={error} again={refetch} />;
  const facts: [string, string][] = [
    ["Pictures", count(data.pictures)],
    ["With a caption", count(data.captioned)],
    ["With a mask", count(data.masked)],
    ["Seen in an epoch", count(data.seen_per_epoch)],
    ["Different tags", count(data.different_tags)],
    ["Size", bytes(data.bytes)],
  ];
  return (
    <Stack gap="md">
      {props.query && (
        <Text size="sm" c="dimmed">
          Of the pictures found by {props.query}
        </Text>
      )}
      <SimpleGrid cols={{ base: 2, xs: 3, lg: 6 }}>
        {facts.map(([name, value]) => (
          <Paper key={name} withBorder p="sm">
            <Text size="xs" c="dimmed">
              {name}
            </Text>
            <Text size="lg" fw={600} className="numbers">
              {value}
            </Text>
          </Paper>
        ))}
      </SimpleGrid>
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Card>
          <Bars title="Shorter side" about="Pixels" bars={histogram(data.shorter_side, 0)} />
        </Card>
        <Card>
          <Bars title="Shape" about="Width divided by height" bars={histogram(data.ratio, 2)} />
        </Card>
        <Card>
          <Bars title="Words in a caption" bars={histogram(data.words, 0)} />
        </Card>
        <Card>
          <Bars title="Tags in a caption" bars={histogram(data.tags, 0)} />
        </Card>
        <Card>
          <Bars title="File types" bars={named(data.types)} />
        </Card>
        <Card>
          <Bars title="Folders" bars={named(data.folders)} />
        </Card>
      </SimpleGrid>
    </Stack>
  );
}

function Card(props: { children: React.ReactNode }) {
  return (
    <Paper withBorder p="md">
      {props.children}
    </Paper>
  );
}

function histogram(bars: readonly BarOut[], digits: number): Bar[] {
  // Where nothing lies, before the first and after the last, nothing is to be read.
  const filled = bars.map((bar) => bar.count > 0);
  const shown = bars.slice(Math.max(0, filled.indexOf(true)), filled.lastIndexOf(true) + 1);
  return shown.map(({ start, end, count: number }) => {
    const from = start.toFixed(digits);
    const isOne = digits === 0 && end === start + 1;
    return {
      key: from,
      label:
        end === null ? `${from} and more` : isOne ? from : `${from} to ${(digits ? end : end - 1).toFixed(digits)}`,
      count: number,
    };
  });
}

function named(counts: Readonly<Record<string, number>>): Bar[] {
  return Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .slice(0, 20)
    .map(([name, number]) => ({ key: name, label: name || "The dataset itself", count: number }));
}
