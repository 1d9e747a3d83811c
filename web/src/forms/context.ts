import { type ComponentType, createContext, useContext } from "react";
import { useStore } from "zustand";
import type { Field, Spec } from "./fields";
import type { Form, FormState } from "./form";

export interface WidgetProps {
  readonly form: Form;
  readonly field: Field;
  readonly spec: Spec;
  readonly path: string;
  /** Of the input, for its label. */
  readonly id: string;
  /** What holds: chosen, or else of the preset, or else the default. */
  readonly value: unknown;
  readonly isOwn: boolean;
  readonly hasError: boolean;
  readonly describedBy: string | undefined;
  /** What is meant where nothing is chosen. */
  readonly meant: unknown;
  readonly set: (value: unknown) => void;
}

export type Widget = ComponentType<WidgetProps>;

export interface FormContext {
  readonly form: Form;
  /** By pattern: what a feature shows in the place of the usual widget. */
  readonly widgets: Readonly<Record<string, Widget>>;
  /** Draws a parameter: lists of sections are made of them again. */
  readonly Row: ComponentType<{ field: Field; prefix?: string }>;
}

export const FormHere = createContext<FormContext | null>(null);

export function useForm(): FormContext {
  const found = useContext(FormHere);
  if (!found) throw new Error("A field stands in no form.");
  return found;
}

export function useFormState<T>(select: (state: FormState) => T): T {
  return useStore(useForm().form.store, select);
}
