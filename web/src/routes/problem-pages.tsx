import { Button, Group, Stack } from "@mantine/core";
import { Map as MapIcon } from "lucide-react";
import { ButtonLink } from "@/shared/links";
import { PageHead } from "@/shared/page-head";
import { Empty, Failed } from "@/shared/states";

/** An address that leads nowhere. */
export function NotFound() {
  return (
    <Stack gap="lg">
      <PageHead title="Not found" />
      <Empty icon={MapIcon} title="There is no such page" action={<ButtonLink to="/">To Home</ButtonLink>}>
        What it showed may have been deleted or renamed. Ctrl and K together search everything.
      </Empty>
    </Stack>
  );
}

/** A page that broke, or whose code could not be loaded: after an update of the server a reload helps. */
export function BrokenPage(props: { error: unknown; again: () => void }) {
  const isMissing = props.error instanceof TypeError && /import|module/i.test(props.error.message);
  return (
    <Stack gap="lg">
      <PageHead title="This page did not open" />
      <Failed error={asSaid(props.error, isMissing)} again={isMissing ? () => window.location.reload() : props.again} />
      <Group>
        <Button variant="default" onClick={() => window.location.reload()}>
          Load the page again
        </Button>
      </Group>
    </Stack>
  );
}

function asSaid(error: unknown, isMissing: boolean): unknown {
  if (isMissing) {
    return { code: "page", status: 400, detail: "A part of the app could not be loaded. It may have been updated." };
  }
  if (error instanceof Error && error.name !== "Problem") {
    return { code: "page", status: 400, detail: `The page met an error it does not know: ${error.message}` };
  }
  return error;
}
