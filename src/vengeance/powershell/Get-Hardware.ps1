# Reads processor, memory, virtualisation and disks. Changes nothing.
#
# in:   {}
# out:  {"processor": "AMD Ryzen 9 7950X 16-Core Processor", "logical_processors": 32, "memory_bytes": 68437245952,
#        "firmware_virtualization": true, "hypervisor_present": false,
#        "disks": [{"drive": "C:", "size_bytes": 999650168832, "free_bytes": 812345118720, "file_system": "NTFS"}]}
#       disks: the fixed ones that have a letter
#
# Once a hypervisor runs it hides the processor's own answer: firmware_virtualization is false then, and means nothing.
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-processor (VirtualizationFirmwareEnabled)
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-computersystem (HypervisorPresent, TotalPhysicalMemory)
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-logicaldisk (DriveType 3 is a local disk)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$computer = Get-CimInstance -ClassName Win32_ComputerSystem
$processors = @(Get-CimInstance -ClassName Win32_Processor)

$disks = @()
foreach ($disk in @(Get-CimInstance -ClassName Win32_LogicalDisk | Where-Object { $_.DriveType -eq 3 })) {
    $disks += [ordered] @{
        drive = [string] $disk.DeviceID
        size_bytes = [long] $disk.Size
        free_bytes = [long] $disk.FreeSpace
        file_system = [string] $disk.FileSystem
    }
}

$answer = [ordered] @{
    processor = ([string] $processors[0].Name).Trim()
    logical_processors = [int] $computer.NumberOfLogicalProcessors
    memory_bytes = [long] $computer.TotalPhysicalMemory
    firmware_virtualization = [bool] $processors[0].VirtualizationFirmwareEnabled
    hypervisor_present = [bool] $computer.HypervisorPresent
    disks = $disks
}
ConvertTo-Json -InputObject $answer -Compress -Depth 4
