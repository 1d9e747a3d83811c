import type { Form } from "@/forms/form";
export default function Guided(_props: { form: Form; showAll?: () => void }) {
  return null;
}
