{{- define "tierd.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tierd.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tierd.labels" -}}
{{ include "tierd.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "tierd.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "tierd.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled }}{{ .Values.tls.secretName | default (printf "%s-tls" (include "tierd.name" .)) }}{{ else }}{{ required "tls.secretName is needed: a Secret with tls.crt, tls.key and ca.crt; or tls.certManager.enabled" .Values.tls.secretName }}{{ end }}
{{- end }}

{{- define "tierd.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "tierd.name" .) }}
{{- end }}

{{- define "tierd.jobsServiceAccount" -}}
{{- if .Values.jobs.serviceAccount.name }}{{ .Values.jobs.serviceAccount.name }}{{ else if .Values.jobs.serviceAccount.create }}{{ include "tierd.name" . }}-jobs{{ else }}{{ include "tierd.serviceAccount" . }}{{ end }}
{{- end }}

{{/* What the restricted profile of Pod Security wants, and a root that nothing is written to. */}}
{{- define "tierd.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "tierd.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The environment of frontends and jobs alike: where the state lives, and how to reach it. */}}
{{- define "tierd.tiers" -}}
- name: TIERD_KEYSPACE
  value: {{ .Values.keyspace | quote }}
- name: TIERD_HOT_TIER
  {{- /* The others are added by the job, which also takes away what is not listed any more. */}}
  value: {{ .Values.jobs.shards.enabled | ternary (first .Values.hotTier.urls) (join "," .Values.hotTier.urls) | quote }}
- name: TIERD_REPLICA_ACKS
  value: {{ .Values.hotTier.replicaAcks | quote }}
- name: TIERD_OBJECT_TIER
  value: {{ .Values.objectTier.url | quote }}
{{- with .Values.hotTier.passwordSecret }}
{{- if .name }}
- name: TIERD_HOT_TIER_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- if .Values.hotTier.caSecret.name }}
- name: TIERD_HOT_TIER_CA_FILE
  value: /etc/tierd/hot-tier/{{ .Values.hotTier.caSecret.key }}
{{- end }}
{{- if .Values.objectTier.kmsKey }}
- name: TIERD_ARCHIVE_KMS_KEY
  value: {{ .Values.objectTier.kmsKey | quote }}
{{- else if .Values.objectTier.keySecret.name }}
- name: TIERD_ARCHIVE_KEY_FILE
  value: /etc/tierd/archive/{{ .Values.objectTier.keySecret.key }}
{{- end }}
{{- range $name, $value := .Values.environment }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "tierd.tierMounts" -}}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
{{- if .Values.hotTier.caSecret.name }}
- {name: hot-tier, mountPath: /etc/tierd/hot-tier, readOnly: true}
{{- end }}
{{- if .Values.objectTier.keySecret.name }}
- {name: archive, mountPath: /etc/tierd/archive, readOnly: true}
{{- end }}
{{- end }}

{{- define "tierd.tierVolumes" -}}
- name: data
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- with .Values.hotTier.caSecret.name }}
- name: hot-tier
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.objectTier.keySecret.name }}
- name: archive
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}
