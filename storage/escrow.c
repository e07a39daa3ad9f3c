#include "storage/escrow.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"

#define STRENGTH_BITS_MIN 112 /* RSA 2048, P-224: NIST SP 800-57 part 1, table 2 */
#define KEY_TEXT_SIZE 65      /* of a master key file */

static int certificate_read(const char *pem, unsigned number, struct err *err, X509 **ret_certificate)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	X509 *certificate = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;

	BIO_free(in);
	if (certificate == NULL)
		return err_set(err, -EINVAL, "officer %u: not a certificate in PEM", number);
	*ret_certificate = certificate;
	return 0;
}

static void officer_tell(X509 *certificate, struct escrow_officer *officer)
{
	BIO *out = BIO_new(BIO_s_mem());
	unsigned size = sizeof(officer->digest);
	int count;

	memset(officer, 0, sizeof(*officer));
	(void)X509_digest(certificate, EVP_sha256(), officer->digest, &size);
	if (out == NULL)
		return;
	(void)X509_NAME_print_ex(out, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
	count = BIO_read(out, officer->name, sizeof(officer->name) - 1);
	officer->name[count > 0 ? count : 0] = '\0';
	(void)BIO_reset(out);
	(void)ASN1_TIME_print(out, X509_get0_notAfter(certificate));
	count = BIO_read(out, officer->not_after, sizeof(officer->not_after) - 1);
	officer->not_after[count > 0 ? count : 0] = '\0';
	BIO_free(out);
}

/* A certificate that says what its key is for must say that it is for this. */
static bool usage_allows(X509 *certificate, int type)
{
	uint32_t usage = X509_get_key_usage(certificate);

	if (usage == UINT32_MAX)
		return true;
	return (usage & (type == EVP_PKEY_EC ? KU_KEY_AGREEMENT : KU_KEY_ENCIPHERMENT)) != 0;
}

static int certificate_check(X509 *certificate, unsigned number, struct err *err)
{
	EVP_PKEY *key = X509_get0_pubkey(certificate);
	int type = key != NULL ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE;

	if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC)
		return err_set(err, -EINVAL, "officer %u: the certificate's key is neither RSA nor EC", number);
	if (EVP_PKEY_get_security_bits(key) < STRENGTH_BITS_MIN)
		return err_set(err, -EINVAL, "officer %u: a key of %d bits is too weak; RSA wants 2048, EC 224 or more",
			       number, EVP_PKEY_get_bits(key));
	if (!usage_allows(certificate, type))
		return err_set(err, -EINVAL, "officer %u: the certificate's key usage does not allow encryption to it",
			       number);
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0)
		return err_set(err, -EINVAL, "officer %u: the certificate is not valid yet", number);
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0)
		return err_set(err, -EINVAL, "officer %u: the certificate has expired", number);
	return 0;
}

static int certificates_differ(X509 *const certificates[ESCROW_OFFICERS], struct err *err)
{
	if (X509_cmp(certificates[0], certificates[1]) == 0)
		return err_set(err, -EINVAL, "both officers gave the same certificate");
	if (EVP_PKEY_eq(X509_get0_pubkey(certificates[0]), X509_get0_pubkey(certificates[1])) == 1)
		return err_set(err, -EINVAL, "both certificates hold the same key");
	if (X509_NAME_cmp(X509_get_subject_name(certificates[0]), X509_get_subject_name(certificates[1])) == 0)
		return err_set(err, -EINVAL, "both certificates name the same subject: two officers are needed");
	return 0;
}

/* OAEP for RSA, SHA-256 in the key derivation of EC: the defaults are older. */
static bool recipient_add(CMS_ContentInfo *cms, X509 *certificate)
{
	CMS_RecipientInfo *recipient = CMS_add1_recipient_cert(cms, certificate, CMS_KEY_PARAM);
	EVP_PKEY_CTX *context = recipient != NULL ? CMS_RecipientInfo_get0_pkey_ctx(recipient) : NULL;

	if (context == NULL)
		return false;
	if (EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)) == EVP_PKEY_EC)
		return EVP_PKEY_CTX_set_ecdh_kdf_md(context, EVP_sha256()) > 0;
	return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0 &&
	       EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) > 0;
}

/* PEM of `bytes` sealed to the certificate; NULL: OpenSSL failed. The caller wipes nothing: it is sealed. */
static char *seal_to(X509 *certificate, const void *bytes, size_t size)
{
	BIO *in = BIO_new_mem_buf(bytes, (int)size);
	BIO *out = BIO_new(BIO_s_mem());
	CMS_ContentInfo *cms = CMS_encrypt(NULL, NULL, EVP_aes_256_gcm(), CMS_BINARY | CMS_PARTIAL);
	char *pem = NULL;
	char *found;
	long found_size;

	if (in != NULL && out != NULL && cms != NULL && recipient_add(cms, certificate) &&
	    CMS_final(cms, in, NULL, CMS_BINARY) > 0 && PEM_write_bio_CMS_stream(out, cms, NULL, 0) > 0) {
		found_size = BIO_get_mem_data(out, &found);
		pem = found_size > 0 ? strndup(found, (size_t)found_size) : NULL;
	}
	CMS_ContentInfo_free(cms);
	BIO_free(out);
	BIO_free(in);
	return pem;
}

static int seal_nested(const uint8_t key[32], X509 *const certificates[ESCROW_OFFICERS], struct err *err,
		       char **ret_pem)
{
	char text[KEY_TEXT_SIZE + 1];
	char *inner;
	char *outer;

	(void)hex_encode(key, 32, text);
	text[KEY_TEXT_SIZE - 1] = '\n';
	inner = seal_to(certificates[0], text, KEY_TEXT_SIZE);
	bytes_wipe(text, sizeof(text));
	outer = inner != NULL ? seal_to(certificates[1], inner, strlen(inner)) : NULL;
	free(inner);
	if (outer == NULL)
		return err_set(err, -EIO, "sealing to the officers: %s",
			       ERR_reason_error_string(ERR_peek_last_error()));
	*ret_pem = outer;
	return 0;
}

int escrow_seal(const uint8_t key[32], const char *const certificates[ESCROW_OFFICERS], struct err *err, char **ret_pem,
		struct escrow_officer ret_officers[ESCROW_OFFICERS])
{
	X509 *read[ESCROW_OFFICERS] = {NULL, NULL};
	int r = 0;

	for (unsigned i = 0; i < ESCROW_OFFICERS && r == 0; i++) {
		r = certificate_read(certificates[i], i + 1, err, &read[i]);
		if (r == 0)
			r = certificate_check(read[i], i + 1, err);
	}
	if (r == 0)
		r = certificates_differ(read, err);
	if (r == 0)
		r = seal_nested(key, read, err, ret_pem);
	for (unsigned i = 0; i < ESCROW_OFFICERS; i++) {
		if (r == 0)
			officer_tell(read[i], &ret_officers[i]);
		X509_free(read[i]);
	}
	ERR_clear_error();
	return r;
}
