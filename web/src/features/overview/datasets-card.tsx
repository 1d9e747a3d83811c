import { SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { listDatasetsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { DatasetOut } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";
import { plural } from "@/shared/format";
import { AnchorLink } from "@/shared/links";
import { Picture } from "@/shared/picture";
import { Section } from "@/shared/section";
import { CardSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import classes from "./cards.module.css";

const SHOWN = 4;

/** The datasets that were changed last. */
export function DatasetsCard() {
  const query = useQuery(listDatasetsOptions());
  if (query.data?.datasets.length === 0) return null;
  const newest = [...(query.data?.datasets ?? [])].sort((a, b) => changed(b) - changed(a)).slice(0, SHOWN);
  return (
    <Section
      title="Datasets"
      actions={
        <AnchorLink to="/datasets" size="sm">
          All datasets
        </AnchorLink>
      }
    >
      {query.data ? (
        <SimpleGrid cols={{ base: 2, xs: 4 }} spacing="md">
          {newest.map((each) => (
            <Dataset key={each.id} dataset={each} />
          ))}
        </SimpleGrid>
      ) : query.error ? (
        <Failed error={query.error} again={query.refetch} />
      ) : (
        <CardSkeletons what="the datasets" cards={4} cols={{ base: 2, xs: 4 }} height={150} />
      )}
    </Section>
  );
}

function changed(dataset: DatasetOut): number {
  return dataset.summary?.changed_ns ?? 0;
}

function Dataset(props: { dataset: DatasetOut }) {
  const { id, name, summary } = props.dataset;
  const cover = summary?.cover;
  const bare = summary ? summary.pictures - summary.captioned : 0;
  return (
    <Link to="/datasets/$datasetId" params={{ datasetId: id }} className={classes.card}>
      <Picture
        src={
          cover ? serverUrl(`/api/datasets/${id}/pictures/thumbnail?item=${encodeURIComponent(cover)}&size=256`) : null
        }
        alt=""
      />
      <Stack gap={2} mt="xs">
        <Text size="sm" fw={550} truncate>
          {name}
        </Text>
        <Text size="xs" c="dimmed" className="numbers">
          {summary ? plural(summary.pictures, "picture") : "being looked at"}
          {bare > 0 && `, ${bare} without caption`}
        </Text>
      </Stack>
    </Link>
  );
}
