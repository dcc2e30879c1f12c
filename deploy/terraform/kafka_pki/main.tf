# SPDX-License-Identifier: Apache-2.0
# A root CA of its own at one mount of Vault or OpenBao, with a role for brokers and one for clients, a policy for each that may
# do nothing but sign with it, and AppRoles. deploy/pki/setup.sh makes the same, and a test holds the two together.

resource "vault_mount" "root" {
  path                      = var.path
  type                      = "pki"
  description               = "Root CA for Kafka"
  max_lease_ttl_seconds     = var.root_ttl
}

# A change of these settings would make a new root in place of the one that everybody trusts: make another mount instead.
resource "vault_pki_secret_backend_root_cert" "root" {
  backend              = vault_mount.root.path
  type                 = "internal"
  common_name          = var.root_ca_common_name
  exclude_cn_from_sans = true
  ttl                  = var.root_ttl
  key_type             = var.root_key_type
  key_bits             = var.root_key_bits
  format               = "pem"
}

resource "vault_pki_secret_backend_config_urls" "root" {
  backend                 = vault_mount.root.path
  issuing_certificates    = ["${var.vault_root_url}/v1/${var.path}/ca"]
  crl_distribution_points = ["${var.vault_root_url}/v1/${var.path}/crl"]
  ocsp_servers            = ["${var.vault_root_url}/v1/${var.path}/ocsp"]
}

# CRLs and roles by the generic resource: old versions of the provider know neither delta CRLs nor keys of any type.

resource "vault_generic_endpoint" "crl" {
  path                 = "${vault_mount.root.path}/config/crl"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    disable                   = false
    expiry                    = "${var.crl_expiry}s"
    auto_rebuild              = true
    auto_rebuild_grace_period = "${var.crl_grace_period}s"
    enable_delta              = true
    delta_rebuild_interval    = "${var.delta_crl_interval}s"
  })
}

# Brokers have host names, and are clients of each other.
resource "vault_generic_endpoint" "broker" {
  path                 = "${vault_mount.root.path}/roles/${var.broker_role}"
  ignore_absent_fields = true

  data_json = jsonencode({
    allowed_domains    = var.broker_allowed_domains
    allow_bare_domains = true
    allow_glob_domains = true
    allow_subdomains   = true
    allow_localhost    = false
    allow_any_name     = false
    enforce_hostnames  = true
    require_cn         = true
    allow_ip_sans      = var.broker_allow_ip_sans
    allowed_uri_sans   = []
    server_flag        = true
    client_flag        = true
    key_type           = "any"
    key_usage          = ["DigitalSignature", "KeyAgreement", "KeyEncipherment"]
    ttl                = var.broker_ttl
    max_ttl            = var.broker_max_ttl
    no_store           = false
  })
}

# Clients have any name, and are no servers. Certificates are stored, since only such can be revoked by their serial number.
resource "vault_generic_endpoint" "client" {
  path                 = "${vault_mount.root.path}/roles/${var.client_role}"
  ignore_absent_fields = true

  data_json = jsonencode({
    allowed_domains    = var.client_allowed_domains
    allow_bare_domains = true
    allow_glob_domains = true
    allow_subdomains   = false
    allow_localhost    = false
    allow_any_name     = false
    enforce_hostnames  = false
    require_cn         = true
    allow_ip_sans      = false
    allowed_uri_sans   = var.client_allowed_uri_sans
    server_flag        = false
    client_flag        = true
    key_type           = "any"
    key_usage          = ["DigitalSignature", "KeyAgreement", "KeyEncipherment"]
    ttl                = var.client_ttl
    max_ttl            = var.client_max_ttl
    no_store           = false
  })
}
