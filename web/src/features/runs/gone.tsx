import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { Trash2 } from "lucide-react";
import { Empty } from "@/shared/states";

/** A run that somebody else deleted, or that never was. */
export function Gone({ wasHere }: { wasHere: boolean }) {
  return (
    <Empty
      icon={Trash2}
      title={wasHere ? "This run was deleted" : "There is no such run"}
      action={
        <Button component={Link} to="/runs">
          All runs
        </Button>
      }
    >
      {wasHere
        ? "Somebody deleted it while this page was open. Runs that were deleted here lie in the trash: Settings can restore them."
        : "It may have been deleted or moved. Runs that were deleted here lie in the trash: Settings can restore them."}
    </Empty>
  );
}
