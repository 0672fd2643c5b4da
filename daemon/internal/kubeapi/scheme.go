package kubeapi

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// eniConfigs is the stock AWS VPC CNI's custom resource.
//
//nolint:gochecknoglobals // a constant that Go has no word for
var eniConfigs = schema.GroupVersion{Group: "crd.k8s.amazonaws.com", Version: "v1alpha1"}

// eniConfig is one of them. What is in it is vpc-ipamd's to judge.
type eniConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec runtime.RawExtension `json:"spec"`
}

// eniConfigList is the answer to a list of them.
type eniConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []eniConfig `json:"items"`
}

// DeepCopyObject is what Kubernetes' libraries want of an object.
func (c *eniConfig) DeepCopyObject() runtime.Object {
	out := &eniConfig{TypeMeta: c.TypeMeta}
	meta := &c.ObjectMeta
	meta.DeepCopyInto(&out.ObjectMeta)
	c.Spec.DeepCopyInto(&out.Spec)
	return out
}

// DeepCopyObject is what Kubernetes' libraries want of a list.
func (l *eniConfigList) DeepCopyObject() runtime.Object {
	out := &eniConfigList{TypeMeta: l.TypeMeta}
	meta := &l.ListMeta
	meta.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopyObject().(*eniConfig))
	}
	return out
}

// scheme has the kinds that are spoken of.
func scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := corev1.AddToScheme(s); err != nil {
		return nil, fmt.Errorf("preparing the kinds of Kubernetes: %w", err)
	}
	s.AddKnownTypeWithName(eniConfigs.WithKind("ENIConfig"), &eniConfig{})
	s.AddKnownTypeWithName(eniConfigs.WithKind("ENIConfigList"), &eniConfigList{})
	metav1.AddToGroupVersion(s, eniConfigs)
	metav1.AddToGroupVersion(s, corev1.SchemeGroupVersion)
	return s, nil
}
