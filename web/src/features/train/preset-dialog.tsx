import type { Form } from "@/forms/form";
export function PresetDialog(_props: { opened: boolean; close: () => void; form?: Form; imported?: () => void }) {
  return null;
}
