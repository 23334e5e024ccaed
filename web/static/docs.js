/** The documentation page: shows /openapi.json in Swagger UI. */

/**
 * The document as OpenAPI 3.0 would say it: Swagger UI 4 shows "Unable to render this definition" for any other version.
 * What differs in what we use: "or null" is a type in 3.1 and the flag `nullable` in 3.0.
 */
function asThreePointZero(node) {
  if (Array.isArray(node)) return node.map(asThreePointZero);
  if (node === null || typeof node !== "object") return node;
  const told = Object.fromEntries(Object.entries(node).map(([name, value]) => [name, asThreePointZero(value)]));
  if (!Array.isArray(told.anyOf)) return told;
  const kept = told.anyOf.filter((option) => option.type !== "null");
  if (kept.length === told.anyOf.length) return told;
  const { anyOf, ...rest } = told;
  return kept.length === 1 ? { ...kept[0], ...rest, nullable: true } : { ...rest, anyOf: kept, nullable: true };
}

const answer = await fetch("/openapi.json");
const spec = { ...asThreePointZero(await answer.json()), openapi: "3.0.3" };
// No validatorUrl: it would send the document to a server of swagger.io's.
window.SwaggerUIBundle({ spec, dom_id: "#docs", deepLinking: true, validatorUrl: null });
