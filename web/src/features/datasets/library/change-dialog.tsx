import { Modal } from "@mantine/core";
import type { ReactNode } from "react";

/** A small dialog about one dataset. */
export function ChangeDialog(props: { opened: boolean; close: () => void; title: string; children: ReactNode }) {
  return (
    <Modal
      opened={props.opened}
      onClose={props.close}
      title={props.title}
      centered
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {props.children}
    </Modal>
  );
}
