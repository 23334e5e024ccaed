// @ts-check
/** The documentation page: shows /openapi.json in Swagger UI. */

/**
 * The document as OpenAPI 3.0: Swagger UI 4 shows "Unable to render this definition" for any other version.
 * One difference matters here: "or null" is a type in 3.1 and the flag `nullable` in 3.0.
 * @param {any} node
 * @returns {any}
 */
function asOpenApi30(node) {
  if (Array.isArray(node)) return node.map(asOpenApi30);
  if (node === null || typeof node !== "object") return node;
  const converted = Object.fromEntries(Object.entries(node).map(([name, value]) => [name, asOpenApi30(value)]));
  if (!Array.isArray(converted.anyOf)) return converted;
  const { anyOf, ...rest } = converted;
  const options = anyOf.filter((/** @type {any} */ option) => option.type !== "null");
  if (options.length === anyOf.length) return converted;
  return options.length === 1 ? { ...options[0], ...rest, nullable: true } : { ...rest, anyOf: options, nullable: true };
}

const response = await fetch("/openapi.json");
const spec = { ...asOpenApi30(await response.json()), openapi: "3.0.3" };
// No validatorUrl: it would send the document to a server of swagger.io's.
/** @type {any} */ (window).SwaggerUIBundle({ spec, dom_id: "#docs", deepLinking: true, validatorUrl: null });
