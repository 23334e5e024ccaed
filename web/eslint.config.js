import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["vendor/"] },
  js.configs.recommended,
  {
    rules: {
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "object-shorthand": "error",
      "no-shadow": "error",
      "no-implicit-coercion": "error",
      "no-useless-return": "error",
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
  },
  {
    files: ["static/**"],
    languageOptions: { globals: globals.browser },
    rules: {
      "no-restricted-syntax": [
        "error",
        { selector: "Literal[value=/\\[data-testid/]", message: "Look elements up by data-ui." },
        { selector: "TemplateElement[value.raw=/\\[data-testid/]", message: "Look elements up by data-ui." },
      ],
    },
  },
  { files: ["tests/**"], languageOptions: { globals: globals.node } },
];
