import { Paper, SimpleGrid, Skeleton, Stack, VisuallyHidden } from "@mantine/core";

/** Rows on their way, as high as those that come. */
export function RowSkeletons(props: { what: string; rows?: number; height?: number }) {
  return (
    <Stack gap="xs" role="status">
      <VisuallyHidden>Loading {props.what}…</VisuallyHidden>
      {places(props.rows ?? 4).map((place) => (
        <Skeleton key={place} h={props.height ?? 44} />
      ))}
    </Stack>
  );
}

/** Cards on their way, in the columns of those that come. */
export function CardSkeletons(props: {
  what: string;
  cards?: number;
  height?: number;
  cols?: React.ComponentProps<typeof SimpleGrid>["cols"];
}) {
  return (
    <SimpleGrid cols={props.cols ?? { base: 1, xs: 2, md: 3 }} role="status">
      <VisuallyHidden>Loading {props.what}…</VisuallyHidden>
      {places(props.cards ?? 3).map((place) => (
        <Paper key={place} withBorder p="md">
          <Skeleton h={props.height ?? 120} />
        </Paper>
      ))}
    </SimpleGrid>
  );
}

function places(number: number): number[] {
  return Array.from({ length: number }, (_, place) => place);
}
