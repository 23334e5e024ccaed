// @ts-check
/** The documentation page: shows /openapi.json in Swagger UI. */

// No validatorUrl: it would send the document to a server of swagger.io's.
/** @type {any} */ (window).SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
