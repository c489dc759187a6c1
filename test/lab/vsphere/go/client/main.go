// What a client of a real vCenter does, by govmomi: it logs in, lists the inventory, relocates a VM to another host, follows the task to its
// end, and looks where the VM is. Written for no endpoint in particular; prints what it saw as one JSON object.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net/url"
	"os"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/progress"
	"github.com/vmware/govmomi/vim25/types"
)

type seen struct {
	ApiVersion string            `json:"apiVersion"`
	Inventory  map[string]int    `json:"inventory"`
	Hosts      map[string]string `json:"hosts"`
	Before     string            `json:"before"`
	After      string            `json:"after"`
	Progress   []float32         `json:"progress"`
	Disks      []string          `json:"disks"`
	Encryption string            `json:"encryption"`
	Fault      string            `json:"fault,omitempty"`
	ByUuid     bool              `json:"byUuid"`
}

type sinker struct{ reports chan progress.Report }

func (s sinker) Sink() chan<- progress.Report { return s.reports }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	address := flag.String("url", "", "https://user:password@host/sdk")
	name := flag.String("vm", "", "which VM")
	target := flag.String("host", "", "to which host")
	datastore := flag.String("datastore", "", "and to which datastore")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	parsed, err := url.Parse(*address)
	check(err)
	client, err := govmomi.NewClient(ctx, parsed, true)
	check(err)
	result := seen{ApiVersion: client.ServiceContent.About.ApiVersion, Inventory: map[string]int{}, Hosts: map[string]string{}}

	finder := find.NewFinder(client.Client)
	datacenter, err := finder.DefaultDatacenter(ctx)
	check(err)
	finder.SetDatacenter(datacenter)
	list(ctx, client, &result)

	vm, err := finder.VirtualMachine(ctx, *name)
	check(err)
	host, err := finder.HostSystem(ctx, *target)
	check(err)
	pool, err := host.ResourcePool(ctx)
	check(err)
	spec := types.VirtualMachineRelocateSpec{Host: types.NewReference(host.Reference()), Pool: types.NewReference(pool.Reference())}
	if *datastore != "" {
		ds, err := finder.Datastore(ctx, *datastore)
		check(err)
		spec.Datastore = types.NewReference(ds.Reference())
	}

	var before mo.VirtualMachine
	check(vm.Properties(ctx, vm.Reference(), []string{"runtime.host", "config"}, &before))
	result.Before = before.Runtime.Host.Value
	result.Encryption = before.Config.MigrateEncryption
	found, err := object.NewSearchIndex(client.Client).FindByUuid(ctx, datacenter, before.Config.InstanceUuid, true, types.NewBool(true))
	check(err)
	result.ByUuid = found != nil && found.Reference() == vm.Reference()

	task, err := vm.Relocate(ctx, spec, types.VirtualMachineMovePriorityHighPriority)
	check(err)
	follow(ctx, task, &result)

	var after mo.VirtualMachine
	check(property.DefaultCollector(client.Client).RetrieveOne(ctx, vm.Reference(), []string{"runtime.host", "config.hardware.device"}, &after))
	result.After = after.Runtime.Host.Value
	for _, device := range object.VirtualDeviceList(after.Config.Hardware.Device).SelectByType((*types.VirtualDisk)(nil)) {
		backing := device.GetVirtualDevice().Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		result.Disks = append(result.Disks, backing.FileName)
	}
	check(client.Logout(ctx))
	check(json.NewEncoder(os.Stdout).Encode(result))
}

func list(ctx context.Context, client *govmomi.Client, result *seen) {
	kinds := []string{"Datacenter", "ClusterComputeResource", "HostSystem", "Datastore", "Network", "VirtualMachine", "ResourcePool", "Folder"}
	for _, kind := range kinds {
		all, err := view.NewManager(client.Client).CreateContainerView(ctx, client.ServiceContent.RootFolder, []string{kind}, true)
		check(err)
		var entities []mo.ManagedEntity
		check(all.Retrieve(ctx, []string{kind}, []string{"name", "parent"}, &entities))
		result.Inventory[kind] = len(entities)
		if kind == "HostSystem" {
			var hosts []mo.HostSystem
			check(all.Retrieve(ctx, []string{kind}, []string{"name", "summary", "config", "hardware", "runtime"}, &hosts))
			for _, host := range hosts {
				result.Hosts[host.Name] = host.Self.Value
			}
		}
		check(all.Destroy(ctx))
	}
}

func follow(ctx context.Context, task *object.Task, result *seen) {
	reports := make(chan progress.Report)
	done := make(chan struct{})
	go func() {
		for report := range reports {
			result.Progress = append(result.Progress, report.Percentage())
		}
		close(done)
	}()
	_, err := task.WaitForResult(ctx, sinker{reports})
	<-done
	if err != nil {
		result.Fault = err.Error()
	}
}
