import type { Form } from "@/forms/form";
export function ExportDialog(_props: { opened: boolean; close: () => void; form?: Form; imported?: () => void }) {
  return null;
}
