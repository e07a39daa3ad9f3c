/* What a profile's name stands for: DPDK's device string, and what the host must have first. Control plane, no EAL. */
#include "dpdk/port.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "dpdk/port_private.h"

#define BUFFERS_MIN 255
#define BUFFERS_SPARE 512 /* a worker's cache and its batches */
#define BUFFERS_DEFAULT 16383
#define TX_BUFFERS_DEFAULT 4095
#define DESCRIPTORS_DEFAULT 1024
#define MTU_DEFAULT 1500
#define MTU_MIN 1280 /* RFC 8200, 5 */
#define MTU_MAX 9216

static const struct port_profile profiles[] = {
	{.name = "vhost", .driver = "net_vhost", .kind = PORT_VHOST, .wants_where = true, .udp_checksum_partial = true},
	{.name = "virtio",
	 .driver = "net_virtio_user",
	 .kind = PORT_VIRTIO,
	 .wants_where = true,
	 .holds_buffers = true,
	 .udp_checksum_partial = true},
	{.name = "af_packet",
	 .driver = "net_af_packet",
	 .kind = PORT_AF_PACKET,
	 .wants_where = true,
	 .udp_checksum_partial = true,
	 .loses_silently = true},
	{.name = "pci", .driver = "", .kind = PORT_PCI, .wants_where = true, .holds_buffers = true, .offloads = true},
	{.name = "ring", .driver = "net_ring", .kind = PORT_RING, .wants_where = true},
	{.name = "pcap", .driver = "net_pcap", .kind = PORT_PCAP, .wants_where = true},
	{.name = "null", .driver = "net_null", .kind = PORT_NULL},
};

static const struct port_profile other = {
	.name = "device", .driver = "", .kind = PORT_OTHER, .holds_buffers = true, .offloads = true};
/* The same kernel sits behind these when they are named by hand. */
static const struct port_profile other_kernel = {.name = "device",
						 .driver = "",
						 .kind = PORT_OTHER,
						 .udp_checksum_partial = true,
						 .loses_silently = true,
						 .holds_buffers = true};

const struct port_profile *port_profile_find(const char *name)
{
	for (unsigned i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		if (strcmp(profiles[i].name, name) == 0)
			return &profiles[i];
	if (strncmp(name, "net_af_", 7) == 0 || strncmp(name, "net_v", 5) == 0)
		return &other_kernel;
	return &other;
}

void port_settings_init(struct port_settings *settings, const char *profile, const char *where)
{
	*settings = (struct port_settings){
		.profile = profile,
		.where = where,
		.pool_ops = "ring_mt_hts",
		.queue_count = 1,
		.buffer_count = BUFFERS_DEFAULT,
		.tx_buffer_count = TX_BUFFERS_DEFAULT,
		.descriptor_count = DESCRIPTORS_DEFAULT,
		.mtu = MTU_DEFAULT,
	};
}

int port_settings_check(const struct port_settings *settings, struct err *err)
{
	const struct port_profile *profile;

	if (settings->profile == NULL || settings->profile[0] == '\0')
		return err_set(err, -EINVAL,
			       "port: no profile named (vhost, virtio, af_packet, pci, ring, pcap, null)");
	profile = port_profile_find(settings->profile);
	if (profile->kind == PORT_OTHER && strncmp(settings->profile, "net_", 4) != 0 &&
	    strncmp(settings->profile, "eth_", 4) != 0)
		return err_set(
			err, -EINVAL,
			"port '%s': neither a profile (vhost, virtio, af_packet, pci, ring, pcap, null) nor a DPDK "
			"device string (net_...)",
			settings->profile);
	if (profile->wants_where && (settings->where == NULL || settings->where[0] == '\0'))
		return err_set(err, -EINVAL, "port %s: says not where (socket, interface, address, link or file)",
			       settings->profile);
	/* A comma would begin another argument of the device. */
	if (profile->kind != PORT_OTHER && ((settings->where != NULL && strchr(settings->where, ',') != NULL) ||
					    (settings->where_tx != NULL && strchr(settings->where_tx, ',') != NULL)))
		return err_set(err, -EINVAL, "port %s: '%s' holds a comma, which DPDK can not take", settings->profile,
			       settings->where);
	if (settings->queue_count < 1 || settings->queue_count > PORT_QUEUES_MAX)
		return err_set(err, -EINVAL, "port %s: %u queues: 1 to %d", settings->profile, settings->queue_count,
			       PORT_QUEUES_MAX);
	if (settings->buffer_count < BUFFERS_MIN || settings->tx_buffer_count < BUFFERS_MIN)
		return err_set(err, -EINVAL, "port %s: %u and %u buffers: at least %d each", settings->profile,
			       settings->buffer_count, settings->tx_buffer_count, BUFFERS_MIN);
	if (settings->descriptor_count < 64 || settings->descriptor_count > 32768 ||
	    (settings->descriptor_count & (settings->descriptor_count - 1)) != 0)
		return err_set(err, -EINVAL, "port %s: %u descriptors: a power of two from 64 to 32768",
			       settings->profile, settings->descriptor_count);
	/* A device that keeps every buffer of a pool for itself would leave none to send with, for ever. */
	if (profile->holds_buffers && (settings->buffer_count < settings->descriptor_count + BUFFERS_SPARE ||
				       settings->tx_buffer_count < settings->descriptor_count + BUFFERS_SPARE))
		return err_set(err, -EINVAL,
			       "port %s: %u and %u buffers for %u descriptors: at least %d more than those",
			       settings->profile, settings->buffer_count, settings->tx_buffer_count,
			       settings->descriptor_count, BUFFERS_SPARE);
	if (settings->mtu < MTU_MIN || settings->mtu > MTU_MAX)
		return err_set(err, -EINVAL, "port %s: MTU %u: %d to %d", settings->profile, settings->mtu, MTU_MIN,
			       MTU_MAX);
	if ((settings->mac[0] & 1) != 0)
		return err_set(err, -EINVAL, "port %s: its MAC is a group's, not a station's", settings->profile);
	return 0;
}

/* Does someone listen on this Unix socket? */
static bool socket_served(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	bool served;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	served = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	(void)close(fd);
	return served;
}

static int socket_path_check(const struct port_settings *settings, struct err *err)
{
	struct sockaddr_un address;

	if (strlen(settings->where) < sizeof(address.sun_path))
		return 0;
	return err_set(err, -EINVAL, "port %s: the socket's path is longer than %zu: %s", settings->profile,
		       sizeof(address.sun_path) - 1, settings->where);
}

static int vhost_check(const struct port_settings *settings, struct err *err)
{
	char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat found;
	char *slash;

	if (socket_path_check(settings, err) < 0)
		return -EINVAL;
	(void)snprintf(directory, sizeof(directory), "%s", settings->where);
	slash = strrchr(directory, '/');
	if (slash == NULL)
		(void)snprintf(directory, sizeof(directory), ".");
	else
		slash[slash == directory ? 1 : 0] = '\0';
	if (access(directory, W_OK | X_OK) < 0)
		return err_set(err, -errno, "port vhost: %s: %s; make the directory and give this user write access",
			       directory, strerror(errno));
	if (lstat(settings->where, &found) < 0)
		return 0;
	if (!S_ISSOCK(found.st_mode))
		return err_set(err, -EEXIST, "port vhost: %s is there and is no socket; name another path",
			       settings->where);
	if (socket_served(settings->where))
		return err_set(err, -EADDRINUSE, "port vhost: %s is served by another process; stop it or name another",
			       settings->where);
	return 0;
}

static int virtio_check(const struct port_settings *settings, struct err *err)
{
	struct stat found;

	if (socket_path_check(settings, err) < 0)
		return -EINVAL;
	if (stat(settings->where, &found) < 0)
		return err_set(err, -errno, "port virtio: %s: %s; start the appliance on that socket first",
			       settings->where, strerror(errno));
	if (!S_ISSOCK(found.st_mode) && !S_ISCHR(found.st_mode))
		return err_set(err, -EINVAL, "port virtio: %s is no socket", settings->where);
	/* DPDK would say so in six lines. The appliance bears a peer that connects and goes. */
	if (S_ISSOCK(found.st_mode) && !socket_served(settings->where))
		return err_set(err, -ECONNREFUSED, "port virtio: nobody listens on %s; start the appliance on it first",
			       settings->where);
	return 0;
}

static int af_packet_check(const struct port_settings *settings, struct err *err)
{
	int fd;

	if (if_nametoindex(settings->where) == 0)
		return err_set(err, -ENOENT, "port af_packet: no interface '%s' here (see ip link)", settings->where);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* takes nothing: asks only whether we may */
	if (fd < 0)
		return err_set(err, -errno, "port af_packet: %s; run as root or grant CAP_NET_RAW", strerror(errno));
	(void)close(fd);
	return 0;
}

static int pci_check(const struct port_settings *settings, struct err *err)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", settings->where);
	if (access(path, F_OK) < 0)
		return err_set(err, -ENOENT, "port pci: no device %s; write the address as 0000:01:00.0 (see lspci -D)",
			       settings->where);
	return 0;
}

static int pcap_check(const struct port_settings *settings, struct err *err)
{
	if (access(settings->where, R_OK) < 0)
		return err_set(err, -errno, "port pcap: %s: %s", settings->where, strerror(errno));
	return 0;
}

int port_host_check(const struct port_settings *settings, struct err *err)
{
	switch (port_profile_find(settings->profile)->kind) {
	case PORT_VHOST:
		return vhost_check(settings, err);
	case PORT_VIRTIO:
		return virtio_check(settings, err);
	case PORT_AF_PACKET:
		return af_packet_check(settings, err);
	case PORT_PCI:
		return pci_check(settings, err);
	case PORT_PCAP:
		return pcap_check(settings, err);
	case PORT_RING:
	case PORT_NULL:
	case PORT_OTHER:
		break;
	}
	return 0;
}

/* "net_tap0,iface=t0" is its own name and arguments. */
static int other_text(const struct port_settings *settings, char *name, char *arguments)
{
	const char *comma = strchrnul(settings->profile, ',');
	int length = (int)(comma - settings->profile);

	if (snprintf(name, PORT_NAME_SIZE, "%.*s", length, settings->profile) >= PORT_NAME_SIZE)
		return -1;
	return snprintf(arguments, PORT_DEVICE_TEXT_SIZE, "%s", *comma == ',' ? comma + 1 : "");
}

static int kind_text(const struct port_settings *s, enum port_kind kind, char *out)
{
	char mac_argument[32] = "";

	if (memcmp(s->mac, (const uint8_t[PORT_MAC_SIZE]){0}, PORT_MAC_SIZE) != 0)
		(void)snprintf(mac_argument, sizeof(mac_argument), ",mac=%02x:%02x:%02x:%02x:%02x:%02x", s->mac[0],
			       s->mac[1], s->mac[2], s->mac[3], s->mac[4], s->mac[5]);
	switch (kind) {
	case PORT_VHOST:
		return snprintf(out, PORT_DEVICE_TEXT_SIZE, "iface=%s,queues=%u", s->where, s->queue_count);
	case PORT_VIRTIO:
		/* More than one queue pair is switched on through the control queue. */
		return snprintf(out, PORT_DEVICE_TEXT_SIZE, "path=%s,queues=%u,queue_size=%u%s%s", s->where,
				s->queue_count, s->descriptor_count, s->queue_count > 1 ? ",cq=1" : "", mac_argument);
	case PORT_AF_PACKET:
		/* 16 MiB of ring, because this device loses without a word; frames of 2 KiB, because the mbuf's
		 * data room must not be below the kernel's frame. */
		return snprintf(out, PORT_DEVICE_TEXT_SIZE,
				"iface=%s,qpairs=%u,blocksz=65536,framesz=2048,framecnt=8192,qdisc_bypass=1", s->where,
				s->queue_count);
	case PORT_PCAP:
		return snprintf(out, PORT_DEVICE_TEXT_SIZE, "rx_pcap=%s%s%s", s->where,
				s->where_tx != NULL ? ",tx_pcap=" : "", s->where_tx != NULL ? s->where_tx : "");
	default:
		out[0] = '\0';
		return 0;
	}
}

int port_device_text(const struct port_settings *settings, unsigned number, char name[PORT_NAME_SIZE],
		     char arguments[PORT_DEVICE_TEXT_SIZE], struct err *err)
{
	const struct port_profile *profile = port_profile_find(settings->profile);
	int used;

	if (profile->kind == PORT_OTHER) {
		used = other_text(settings, name, arguments);
	} else {
		used = kind_text(settings, profile->kind, arguments);
		if (profile->kind == PORT_PCI)
			(void)snprintf(name, PORT_NAME_SIZE, "%s", settings->where);
		else
			(void)snprintf(name, PORT_NAME_SIZE, "%s%u", profile->driver, number);
	}
	if (used >= 0 && used < PORT_DEVICE_TEXT_SIZE && settings->options != NULL && settings->options[0] != '\0')
		used += snprintf(arguments + used, (size_t)(PORT_DEVICE_TEXT_SIZE - used), "%s%s", used > 0 ? "," : "",
				 settings->options);
	if (used < 0 || used >= PORT_DEVICE_TEXT_SIZE)
		return err_set(err, -ENAMETOOLONG, "port %s: device text longer than %d", settings->profile,
			       PORT_DEVICE_TEXT_SIZE);
	return 0;
}

static const char *advice(enum port_kind kind)
{
	switch (kind) {
	case PORT_VHOST:
		return "clients connect with virtio-user (gantry-load does); peers may come and go";
	case PORT_VIRTIO:
		return "for clients; the appliance serves the socket";
	case PORT_AF_PACKET:
		return "give the appliance's end of the veth pair no address of the host (the kernel would answer "
		       "too); "
		       "senders' UDP checksums are partial unless tx-checksumming is off on their end, so they are not "
		       "enforced; loss is not reported by the device";
	case PORT_PCI:
		return "the NIC must be bound to vfio-pci, with an IOMMU";
	case PORT_RING:
		return "two ports of one process with this name are its two ends";
	case PORT_PCAP:
		return "a file is played once, as fast as it is read";
	case PORT_NULL:
		return "receives frames of zeros without end; for measurements";
	case PORT_OTHER:
		break;
	}
	return "passed to DPDK as it is; not certified";
}

int port_describe(const struct port_settings *settings, char *text, size_t text_size, struct err *err)
{
	char name[PORT_NAME_SIZE];
	char arguments[PORT_DEVICE_TEXT_SIZE];
	int result = port_settings_check(settings, err);

	if (result == 0)
		result = port_host_check(settings, err);
	if (result == 0)
		result = port_device_text(settings, 0, name, arguments, err);
	if (result < 0)
		return result;
	(void)snprintf(text, text_size,
		       "port %s: device %s%s%s\n"
		       "  %u queue(s), about %u MiB of buffers, MTU %u\n"
		       "  %s\n",
		       settings->profile, name, arguments[0] != '\0' ? "," : "", arguments, settings->queue_count,
		       (settings->queue_count * (settings->buffer_count + settings->tx_buffer_count) * 24 + 10239) /
			       10240,
		       settings->mtu, advice(port_profile_find(settings->profile)->kind));
	return 0;
}
