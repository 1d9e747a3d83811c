import { Stack } from "@mantine/core";
import { Trash2 } from "lucide-react";
import { ButtonLink } from "@/shared/links";
import { PageHead } from "@/shared/page-head";
import { Empty } from "@/shared/states";

/** A run that somebody else deleted, or that never was. */
export function Gone({ wasHere }: { wasHere: boolean }) {
  return (
    <Stack gap="lg">
      <PageHead title="Run" />
      <Empty
        icon={Trash2}
        title={wasHere ? "This run was deleted" : "There is no such run"}
        action={<ButtonLink to="/runs">All runs</ButtonLink>}
      >
        {wasHere
          ? "Somebody deleted it while this page was open. Runs that were deleted here lie in the trash: Settings can restore them."
          : "It may have been deleted or moved. Runs that were deleted here lie in the trash: Settings can restore them."}
      </Empty>
    </Stack>
  );
}
