import type { Form } from "@/forms/form";
export default function YamlView(_props: { form: Form; showAll?: () => void }) {
  return null;
}
