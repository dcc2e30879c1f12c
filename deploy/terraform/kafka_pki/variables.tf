# SPDX-License-Identifier: Apache-2.0
# All times are in seconds.

variable "path" {
  description = "Where the root CA is mounted, such as kafka-pki/root-a."
  type        = string
}

variable "root_ca_common_name" {
  description = "The common name of the root's certificate."
  type        = string
}

variable "vault_root_url" {
  description = "How certificates name the CA and its CRLs: the address of Vault, without a slash at its end."
  type        = string
}

variable "broker_allowed_domains" {
  description = "Names that brokers may have; those below them too. A * stands for anything."
  type        = list(string)
}

variable "client_allowed_domains" {
  description = "Names that clients may have. A * stands for anything, as in svc-*."
  type        = list(string)
}

variable "broker_role" {
  type    = string
  default = "broker"
}

variable "client_role" {
  type    = string
  default = "client"
}

variable "broker_ttl" {
  description = "Life of a broker's certificate where none is asked for."
  type        = number
  default     = 259200
}

variable "broker_max_ttl" {
  type    = number
  default = 2592000
}

variable "client_ttl" {
  description = "Life of a client's certificate where none is asked for."
  type        = number
  default     = 86400
}

variable "client_max_ttl" {
  type    = number
  default = 604800
}

variable "broker_allow_ip_sans" {
  description = "Whether brokers' certificates may name IP addresses: any, which Vault can not restrict."
  type        = bool
  default     = false
}

variable "client_allowed_uri_sans" {
  description = "URIs that clients' certificates may name, such as spiffe://example.com/*."
  type        = list(string)
  default     = []
}

variable "root_ttl" {
  description = "Life of the root's certificate, and the longest of any other."
  type        = number
  default     = 315360000
}

variable "root_key_type" {
  type    = string
  default = "ec"
}

variable "root_key_bits" {
  type    = number
  default = 256
}

variable "crl_expiry" {
  description = "How long a CRL is good for."
  type        = number
  default     = 259200
}

variable "crl_grace_period" {
  description = "How long before its end a CRL is made anew."
  type        = number
  default     = 43200
}

variable "delta_crl_interval" {
  description = "How often a delta CRL may be made."
  type        = number
  default     = 900
}

variable "approle" {
  description = "AppRoles NAME-broker and NAME-client are made; none if this is empty."
  type        = string
  default     = ""
}

variable "approle_path" {
  type    = string
  default = "approle"
}

variable "create_approle_auth" {
  description = "Whether the auth method at approle_path is made here; false where it is there already."
  type        = bool
  default     = true
}

variable "more_broker_policies" {
  description = "Of the AppRole for brokers, besides this root's: those of the other roots, so that a rotation finds them ready."
  type        = list(string)
  default     = []
}

variable "more_client_policies" {
  type    = list(string)
  default = []
}

variable "token_ttl" {
  description = "Life of an AppRole's token; it can be renewed until token_max_ttl."
  type        = number
  default     = 3600
}

variable "token_max_ttl" {
  type    = number
  default = 86400
}

variable "secret_id_ttl" {
  description = "Life of a secret id; 0: it does not end."
  type        = number
  default     = 0
}
