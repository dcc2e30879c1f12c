/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a context's certificates say (context.h), for those who watch their ends. Reads a context
 * that nobody changes; any thread.
 */
#include <errno.h>

#include "tls/context_impl.h"
#include "tls/peer_impl.h"

struct visitor {
	void (*visit)(enum tls_certificate_role role, const struct peer *names, void *arg);
	void *arg;
};

static int visit_one(const struct visitor *v, enum tls_certificate_role role, X509 *certificate)
{
	struct peer *names = NULL;
	const char *why;

	if (peer_from_certificate(certificate, NULL, false, &names, &why))
		return -ENOMEM;
	v->visit(role, names, v->arg);
	peer_free(names);
	return 0;
}

static int visit_all(const struct visitor *v, enum tls_certificate_role role,
		     STACK_OF(X509) * certificates)
{
	int r = 0;

	for (int i = 0; r == 0 && i < sk_X509_num(certificates); i++)
		r = visit_one(v, role, sk_X509_value(certificates, i));
	return r;
}

int tls_context_visit_certificates(const struct tls_context *context,
				   void (*visit)(enum tls_certificate_role role,
						 const struct peer *names, void *arg),
				   void *arg)
{
	const struct visitor v = { visit, arg };
	X509 *own = SSL_CTX_get0_certificate(context->ssl_ctx);
	STACK_OF(X509) *chain = NULL, *roots;
	int r = own ? visit_one(&v, TLS_CERTIFICATE_OWN, own) : 0;

	if (r == 0 && SSL_CTX_get0_chain_certs(context->ssl_ctx, &chain))
		r = visit_all(&v, TLS_CERTIFICATE_INTERMEDIATE, chain);
	if (r < 0)
		return r;
	roots = X509_STORE_get1_all_certs(SSL_CTX_get_cert_store(context->ssl_ctx));
	if (!roots)
		return -ENOMEM;
	r = visit_all(&v, TLS_CERTIFICATE_ROOT, roots);
	sk_X509_pop_free(roots, X509_free);
	return r;
}
