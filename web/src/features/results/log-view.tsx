import { Button, CloseButton, Group, Skeleton, Stack, Switch, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { Download, ScrollText, Search } from "lucide-react";
import { useState } from "react";
import { Virtuoso } from "react-virtuoso";
import { serverUrl } from "@/api/setup";
import { count } from "@/shared/format";
import { Empty, Failed } from "@/shared/states";
import { FoundLines } from "./found-lines";
import classes from "./log.module.css";
import { levelled } from "./log-lines";
import { LogText } from "./log-text";
import { useLog } from "./use-log";

interface Props {
  runId: string;
  find: string;
  onFind: (text: string) => void;
}

/** The log of a run: its end first, earlier lines when somebody scrolls up, new ones as they are written. */
export function LogView({ runId, find, onFind }: Props) {
  const log = useLog(runId);
  const [follows, setFollows] = useState(true);
  const [wanted] = useDebouncedValue(find.trim(), 250);
  const lines = levelled(log.lines);
  const isEmpty = !log.isLoading && !log.error && lines.length === 0;
  if (isEmpty)
    return (
      <Empty icon={ScrollText} title="Nothing in the log yet">
        It begins when the run does.
      </Empty>
    );
  return (
    <Stack gap="sm">
      <Group gap="sm">
        <TextInput
          flex="1 1 14rem"
          maw="26rem"
          aria-label="Search the log"
          placeholder="Search the whole log"
          leftSection={<Search size={16} aria-hidden />}
          rightSection={find && <CloseButton size="sm" aria-label="Clear the search" onClick={() => onFind("")} />}
          value={find}
          onChange={(event) => onFind(event.currentTarget.value)}
        />
        <Switch
          size="sm"
          label="Follow new lines"
          checked={follows}
          onChange={(event) => setFollows(event.currentTarget.checked)}
        />
        <Button
          component="a"
          variant="default"
          size="sm"
          ml="auto"
          href={serverUrl(`/api/runs/${runId}/files/log.txt?save=true`)}
          download
          leftSection={<Download size={16} aria-hidden />}
        >
          Download
        </Button>
      </Group>
      {log.error !== null && <Failed error={log.error} again={log.again} />}
      {wanted ? (
        <FoundLines runId={runId} wanted={wanted} />
      ) : log.isLoading ? (
        <Skeleton className={classes.box} />
      ) : (
        <>
          <section className={classes.box} aria-label="Log">
            <Virtuoso
              data={lines}
              firstItemIndex={log.first}
              initialTopMostItemIndex={lines.length - 1}
              startReached={log.earlier}
              followOutput={follows ? "auto" : false}
              itemContent={(_index, line) => <LogText line={line} />}
              tabIndex={0}
            />
          </section>
          <Text size="xs" c="dimmed">
            {count(lines.length)} lines{log.hasMore ? "; scroll up for earlier ones" : ""}
          </Text>
        </>
      )}
    </Stack>
  );
}
